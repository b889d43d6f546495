"""`python -m onnxport` is the command line."""

from onnxport.cli import main

main()
