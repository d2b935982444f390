"""What is proven of a point, from the input arrays, by code that shares only the loss formula with the solver."""

from newtond.engine.certificate.linear import certify_linear
from newtond.engine.certificate.predictor import certify_predictor
from newtond.engine.certificate.proof import PredictorLoss

__all__ = ["PredictorLoss", "certify_linear", "certify_predictor"]
