from ..decoding.conftest import character_model, small_model

__all__ = ["character_model", "small_model"]
