"""Messages between the server and its clients: typed, packed and unpacked in this package."""
