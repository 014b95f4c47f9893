"""Settings of the optimizer, of the course of a training, and of its trackers."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import LARGEST_SEED, ConfigEnum, above, at_least, between, check_settings, require


class Precision(ConfigEnum):
    """The type of the large products in training."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    auto = "auto"


class Schedule(ConfigEnum):
    """The course of the learning rate after the warm-up."""

    cosine = "cosine"
    one_cycle = "one_cycle"
    plateau = "plateau"
    constant = "constant"


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a schedule."""

    learning_rate: float = field(default=1e-3, metadata=above(0, at_most=100))
    """the peak rate, reached after the warm-up"""
    schedule: Schedule = Schedule.cosine
    """cosine (half a cosine down to final_share), one_cycle (three tenths of the training up, the rest down; no other
    warm-up), plateau (falls when the validation CER stops falling) or constant"""
    warmup_steps: int = field(default=500, metadata=at_least(0, at_most=1_000_000_000))
    """steps in which the rate rises from 0; at most a tenth of the training"""
    final_share: float = field(default=0.01, metadata=between(0.0, 1.0))
    """the final rate, as a share of the peak; also the lower limit of the plateau schedule"""
    plateau_epochs: int = field(default=2, metadata=at_least(1, at_most=1_000_000))
    """plateau schedule: the rate falls after this many validations without a better CER"""
    plateau_factor: float = field(default=0.5, metadata=between(0.0, 1.0, low_open=True, high_open=True))
    """plateau schedule: factor by which the rate falls"""
    weight_decay: float = field(default=0.01, metadata=at_least(0, at_most=100))
    """decoupled weight decay, on matrices only"""
    clip_norm: float = field(default=1.0, metadata=above(0, at_most=1_000_000_000))
    """largest norm of the gradient; a larger gradient is scaled down to it"""

    def __post_init__(self) -> None:
        check_settings(self, "optimizer")


@dataclass(kw_only=True)
class TrainingConfig:
    """Length of a training, its batches, checkpoints and numerics."""

    epochs: int = field(default=30, metadata=at_least(1, at_most=1_000_000))
    """number of passes over the training data"""
    batch_size: int = field(default=32, metadata=at_least(1, at_most=65_536))
    """largest number of utterances in a batch; with few utterances of different lengths there are fewer in each, so
    that less than a tenth of it is padding"""
    batch_seconds: float = field(default=160.0, metadata=above(0, at_most=1_000_000))
    """largest amount of audio in a batch, in seconds, padding included"""
    buckets: int = field(default=20, metadata=at_least(1, at_most=1000))
    """largest number of batch shapes: more mean less padding, and more shapes to compile"""
    accumulate: int = field(default=1, metadata=at_least(1, at_most=10_000))
    """batches per step of the optimizer (gradient accumulation): a large batch in the memory of a small one"""
    sorted_first_epoch: bool = True
    """order the first epoch from the shortest utterance to the longest, which shortens the all-blank phase of CTC"""
    average_epochs: float = field(default=0.0, metadata=at_least(0, at_most=1_000_000))
    """validate and save the exponential moving average of the weights over about this many epochs, which makes fewer
    errors than the weights of any one step; 0 takes the weights as they are"""
    keep_epochs: int = field(default=5, metadata=at_least(0, at_most=1_000_000))
    """keep the weights of this many epochs, those with the lowest validation CER, for `asr average`; 0 keeps none"""
    valid_every: int = field(default=1, metadata=at_least(1, at_most=1_000_000))
    """epochs between validations; the last epoch is always validated"""
    patience: int = field(default=10, metadata=at_least(0, at_most=1_000_000))
    """stop if a validation is this many epochs or more after the one with the best CER (with valid_every above 1, most
    epochs have none, and count too); 0 never stops early"""
    seed: int = field(default=1, metadata=between(0, LARGEST_SEED))
    """seed of the initial weights, the order of utterances and the augmentation"""
    workers: int = field(default=1, metadata=at_least(0, at_most=1024))
    """processes that prepare batches; 0 prepares them in the training process, between steps"""
    checkpoint_minutes: float = field(default=10.0, metadata=at_least(0, at_most=1_000_000))
    """minutes between checkpoints within an epoch; 0 writes one after every batch; there is always one at the end of an
    epoch"""
    precision: Precision = Precision.float32
    """number format of large matrix products: bfloat16 is faster on processors and GPUs that support it, and much
    slower on others; float16 is for older GPUs; auto is bfloat16 where that is known to be faster, else float32.
    Weights, recurrent states and the CTC loss are always float32"""
    devices: int = field(default=1, metadata=at_least(1, at_most=1024))
    """devices of this machine that divide every batch between them (TensorFlow and JAX)"""
    processes: int = field(default=1, metadata=at_least(1, at_most=65_536))
    """processes that share every batch, the ranks of data-parallel training (PyTorch): started here, on the cores or
    the GPUs of this machine, or by torchrun or Slurm on many. The result is the same but for rounding, and a run may be
    resumed with another number"""
    jit_compile: bool = False
    """compile the whole training step with XLA (TensorFlow; JAX always does), not just the recurrence"""
    mmi_weight: float | None = field(default=None, metadata=between(0.0, 1.0))
    """weight of the lattice-free MMI loss; CTC has the rest. MMI raises the transcript above all other texts, which
    helps decoding with a language model and harms greedy decoding, unless the latter has an output of its own
    (model.mmi_output). For the last epochs. null: 0.9 with such an output, 0 without"""
    mmi_order: int = field(default=4, metadata=between(3, 5))
    """order of the n-gram over symbols that weighs the other texts in MMI, from 3 to 5"""
    teacher: str | None = None
    """a bundle whose output the model learns to give too (distillation): the name of one that ships, or its path. It
    needs the output layers, alphabet and steps of the model. It reads the recordings without augmentation, at the
    speed that the model gets them at. Weights that have the same name and shape in both start as the teacher's, and
    the trained bundle has the teacher's decoder"""
    teacher_weight: float = field(default=0.5, metadata=between(0.0, 1.0))
    """weight of the divergence from the teacher's output in the loss; CTC and MMI have the rest"""
    teacher_delay: int = field(default=0, metadata=at_least(0, at_most=1000))
    """steps by which the model may give the teacher's output later, besides model.lookahead"""
    teacher_cache: str | None = None
    """folder for the teacher's output, so that it is computed once for each recording and speed; null computes it in
    every epoch"""
    consistency_weight: float = field(default=0.0, metadata=between(0.0, 10.0))
    """weight of the consistency of two outputs: every utterance is in a batch twice, with other masks, and learns the
    output of the other copy too. Fewer errors from little data, at twice the time of a step; 0.2 is usual; 0 for one
    copy"""
    skip_batches: int = field(default=5, metadata=at_least(0, at_most=1_000_000))
    """batches without a finite loss and gradient that are skipped, with a message, before training stops"""
    overfit: int = field(default=0, metadata=at_least(0, at_most=1_000_000))
    """overfit this many utterances and report whether it worked, as a test of the whole setup; 0 trains as usual"""

    def __post_init__(self) -> None:
        check_settings(self, "training")
        require(
            not self.consistency_weight or (self.processes == 1 and self.devices == 1),
            "training.consistency_weight",
            "0 with several training.processes or training.devices, which would share the copies of an utterance out",
            self.consistency_weight,
        )

    @property
    def copies(self) -> int:
        """Rows of each utterance in a batch."""
        return 2 if self.consistency_weight else 1


@dataclass(kw_only=True)
class TrackingConfig:
    """Where the progress of a run is written."""

    tensorboard: bool = True
    """write curves, decoded examples and images of features to the run's folder, for `tensorboard --logdir runs`"""
    mlflow: str | None = None
    """also send them to this MLflow server or database (http://..., sqlite:///mlflow.db); needs
    `pip install 'asr[mlflow]'`"""
    mlflow_experiment: str = "asr"
    """name of the experiment there"""
    wandb: str | None = None
    """also send them to this project of Weights & Biases; needs `pip install 'asr[wandb]'` and `wandb login`, or
    WANDB_MODE=offline"""
    examples: int = field(default=4, metadata=at_least(0, at_most=10_000))
    """validation utterances whose decoded texts are written after every epoch"""

    def __post_init__(self) -> None:
        check_settings(self, "tracking")
