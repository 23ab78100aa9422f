"""HTTP/1.1 in an event loop, from the socket to the data plane, without Flask."""
