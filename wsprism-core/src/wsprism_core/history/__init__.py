"""History: the recoverable messages of rooms, and where they are kept."""
