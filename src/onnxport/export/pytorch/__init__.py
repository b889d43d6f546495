"""PyTorch modules: from a module and its example inputs to a graph, its signature, and the rows that it is held to."""
