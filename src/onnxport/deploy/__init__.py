"""From a model file and `onnxport.toml` to an environment of Elastic Beanstalk: intent, plan, steps."""
