"""An estimator into a verified model file. The only room that imports onnx, scikit-learn
and pandas.
"""

from onnxport.export.adopting import adopt
from onnxport.export.saving import save

__all__ = ["adopt", "save"]
