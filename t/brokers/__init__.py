"""Real brokers for the tests: found through the environment, or started from the machine's binaries."""
