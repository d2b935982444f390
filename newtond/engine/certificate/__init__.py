"""What is proven of a point, by code that shares nothing with the solver but the loss formula."""

from newtond.engine.certificate.coupled import certify_coupled
from newtond.engine.certificate.linear import certify_linear
from newtond.engine.certificate.predictor import certify_predictor
from newtond.engine.certificate.proof import PredictorLoss

__all__ = ["PredictorLoss", "certify_coupled", "certify_linear", "certify_predictor"]
