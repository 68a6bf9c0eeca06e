"""Record what enters a gateway, and run it again: the same inputs give the same bytes.

`recorder` writes a file while a gateway serves, `replayer` feeds that file to a gateway
in virtual time and says where its answers differ. `format` is the file.
"""
