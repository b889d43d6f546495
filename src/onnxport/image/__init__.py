"""A model file becomes a container image. Nothing here knows AWS; `cli` says what to build and prints the result."""
