"""Learning-rate schedules as functions of the step."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from `peak / warmup_steps` to `peak`, then stays.

    The first 5 epochs of Zhong et al. (2023, Sec. 4.2); they say nothing about what comes
    after, so it stays.

    Args:
        peak: float > 0. The highest learning rate.
        warmup_steps: int >= 0. Steps until it is reached; 0 for none.
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        if not self.warmup_steps:
            return ops.convert_to_tensor(self.peak, "float32")
        done = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return self.peak * ops.minimum(done, 1.0)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
