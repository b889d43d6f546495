"""Asks a running server, with onnxport's client and with requests: python call.py [URL]"""

import sys

import requests

from onnxport import Client, OnnxportError

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

with Client(URL) as client:
    print("one row:     ", client.predict(ROW))
    print("several rows:", [answer["prediction"] for answer in client.predict([ROW, ROW])])
    try:
        client.predict({**ROW, "petal_width": "narrow"})
    except OnnxportError as err:
        print("a wrong row: ", err)

response = requests.post(f"{URL}/predict", json=ROW, timeout=10)
response.raise_for_status()
print("requests:    ", response.json()["prediction"])
