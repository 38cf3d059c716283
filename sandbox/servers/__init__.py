"""The real servers of the sandbox: started on free loopback ports under one private directory, stopped with their owner."""
