"""Ready-made transforms of batches: functions whose results are ``transform(batch, rng) -> batch``."""
