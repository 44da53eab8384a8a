"""Recording what the running kernel does, and comparing it with the simulator step by step."""
