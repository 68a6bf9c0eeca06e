"""What plugins keep: a few bytes by name, of each plugin apart."""
