"""Real brokers: found through the environment, or started from the machine's binaries."""
