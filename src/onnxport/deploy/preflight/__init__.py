"""What is looked at before anything is created: one small function a check, one table of all, no change anywhere."""

from onnxport.deploy.preflight.finding import Finding, Outcome
from onnxport.deploy.preflight.run import run
from onnxport.deploy.preflight.subject import Subject
from onnxport.deploy.preflight.table import CHECKS

__all__ = ["CHECKS", "Finding", "Outcome", "Subject", "run"]
