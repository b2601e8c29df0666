"""What crosses the wire: typed messages, their packing and checking."""
