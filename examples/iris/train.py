"""Trains a random forest on iris and saves it as one model file, iris.onnx."""

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

import onnxport

data = load_iris(as_frame=True)
X = data.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis=1)
y = data.target_names[data.target]
model = RandomForestClassifier(random_state=0).fit(X, y)

report = onnxport.save(
    model,
    "iris.onnx",
    X,
    y,
    description="The species of an iris by the size of its flower.",
    features={name: {"unit": "cm"} for name in X.columns},
    progress=print,
)
print(report)
