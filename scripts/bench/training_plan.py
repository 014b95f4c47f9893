"""Plans a training over several GPUs or machines: its steps, its hours, and what the exchange of gradients takes.

    python scripts/bench/training_plan.py --hours 1000 --ranks 8 --times-real-time 2000 --network-gigabytes 10

It is arithmetic, not a measurement: measure the speed of one rank on your own machine first (a short run prints the
seconds of an epoch), then the exchange with scripts/bench/ranks.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# Of the default model and features: a step of the network is four frames of 10 ms.
_STEPS_PER_SECOND = 25
# Exchanges of small messages in a step: what each rank has of the batch, its loss, whether to stop.
_EXCHANGES = 3


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The course of a training, computed."""

    steps: int
    """of the optimizer, in all epochs"""
    compute_seconds: float
    """of a step, forward and backward, on each rank"""
    reduce_seconds: float
    """of a step, for the sum of the gradients"""
    exchange_seconds: float
    """of a step, for small messages"""
    mask_seconds: float
    """of a step, for dropout masks of the whole batch, which each rank draws"""
    hours: float
    """of training, without validation"""
    efficiency: float
    """share of the time in which the ranks compute"""
    input_cores: float
    """processor cores that read, augment and transform the audio of all ranks"""


def plan_training(
    *,
    hours: float,
    epochs: int,
    ranks: int,
    batch_seconds: float,
    times_real_time: float,
    parameters: float = 3.7e6,
    network_gigabytes: float = 10.0,
    latency_seconds: float = 2e-4,
    dropout_width: float = 512 * 3,
    random_numbers_per_second: float = 1e10,
    input_seconds_per_second: float = 0.01,
) -> TrainingPlan:
    """Compute the course of a training.

    Parameters
    ----------
    hours : float
        Of speech in an epoch.
    epochs, ranks : int
    batch_seconds : float
        Audio in a batch of all ranks together (`training.batch_seconds`).
    times_real_time : float
        Seconds of audio that one rank trains on in a second, with its share of a batch.
    parameters : float
        Of the model; a gradient has four bytes for each.
    network_gigabytes : float
        A second that each rank can send and receive at the same time.
    latency_seconds : float
        Of one small message between all ranks.
    dropout_width : float
        Numbers that dropout draws for a step of the network: the features of all its layers together.
    random_numbers_per_second : float
        About 1e8 on one core of a processor, far more on a GPU.
    input_seconds_per_second : float
        Processor seconds to prepare a second of audio.

    Returns
    -------
    TrainingPlan

    Examples
    --------
    >>> plan = plan_training(hours=1000, epochs=1, ranks=2, batch_seconds=100, times_real_time=100)
    >>> plan.steps, round(plan.compute_seconds, 3)
    (36000, 0.5)
    """
    steps = round(hours * 3600 * epochs / batch_seconds)
    compute = batch_seconds / ranks / times_real_time
    # A ring passes on each number twice, but for the share of one rank. Source: P. Patarasuk and X. Yuan, "Bandwidth
    # optimal all-reduce algorithms for clusters of workstations", J. Parallel Distrib. Comput. 69(2), 2009.
    reduce = 2 * (ranks - 1) / ranks * 4 * parameters / (network_gigabytes * 1e9) + 2 * (ranks - 1) * latency_seconds
    exchange = _EXCHANGES * latency_seconds if ranks > 1 else 0.0
    numbers = batch_seconds * _STEPS_PER_SECOND * dropout_width
    # On a single rank this is part of the measured speed.
    mask = numbers * (1 - 1 / ranks) / random_numbers_per_second
    step = compute + (reduce if ranks > 1 else 0.0) + exchange + mask
    return TrainingPlan(
        steps=steps,
        compute_seconds=compute,
        reduce_seconds=reduce if ranks > 1 else 0.0,
        exchange_seconds=exchange,
        mask_seconds=mask,
        hours=steps * step / 3600,
        efficiency=compute / step,
        input_cores=batch_seconds / step * input_seconds_per_second,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--batch-seconds", type=float, default=1280, help="of all ranks together")
    parser.add_argument("--times-real-time", type=float, required=True, help="of one rank")
    parser.add_argument("--parameters", type=float, default=3.7e6)
    parser.add_argument("--network-gigabytes", type=float, default=10.0)
    arguments = parser.parse_args()
    heads = ("ranks", "steps", "compute s", "reduce s", "masks s", "hours", "share", "cores")
    print("{:>5} {:>8} {:>10} {:>9} {:>8} {:>8} {:>6} {:>6}".format(*heads))
    for ranks in arguments.ranks:
        plan = plan_training(
            hours=arguments.hours,
            epochs=arguments.epochs,
            ranks=ranks,
            batch_seconds=arguments.batch_seconds,
            times_real_time=arguments.times_real_time,
            parameters=arguments.parameters,
            network_gigabytes=arguments.network_gigabytes,
        )
        print(
            f"{ranks:>5} {plan.steps:>8} {plan.compute_seconds:>10.4f} {plan.reduce_seconds:>9.4f} "
            f"{plan.mask_seconds:>8.4f} {plan.hours:>8.1f} {plan.efficiency:>6.2f} {plan.input_cores:>6.1f}"
        )


if __name__ == "__main__":
    main()
