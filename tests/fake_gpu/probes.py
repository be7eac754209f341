"""What tests run on the stand-in for CUDA: functions whose results JSON can hold."""

from __future__ import annotations

import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import torch

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.grouping.engine import Engine
from gansearch.grouping.graphs import Lane
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.measures import Fidelity
from gansearch.networks.own import OwnNetworkMaker
from gansearch.scoring import evaluation, indicators, parzen
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.samples import as_tensor
from gansearch.system.features import take_notes
from gansearch.system.precision import full_precision
from gansearch.training import training as training_module
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining
from tests.fake_gpu.stand_in import Counters
from tests.grouping import test_convolutional as convolutional
from tests.grouping.test_convolutional import CONFIGS as CONVOLUTIONAL
from tests.grouping.test_group import STRUCTURES, blobs, group_for, training_of
from tests.own_nets import ConvD, ConvG, searched
from tests.training.test_training import small

MIB = 2**20


def captures(precisions, n_ticks=4):
    """Return what recording a chunk of each structure gave, by precision and name."""
    return [
        {"precision": precision, "name": name} | recorded(configs_of(name, precision), n_ticks)
        for precision in precisions
        for name in STRUCTURES
    ]


def convolutional_captures():
    """Return what recording and replaying a chunk of each convolutional structure gave.

    By torch's own kernels: of cuDNN the stand-in has batch normalisation alone.
    """
    torch.backends.cudnn.enabled = False
    counters, found = Counters(), {}
    for name, config in CONVOLUTIONAL.items():
        counters.clear()
        convolutional.trained(config, "cuda", 8, in_group=True)
        found[name] = [counters["captures"], counters["graph launch"], counters.violations]
    torch.backends.cudnn.enabled = True
    return found


def configs_of(name, precision):
    return [small(precision=precision, **values) for values in STRUCTURES[name]]


def recorded(configs, n_ticks):
    """Record a chunk of a group of such members, then replay it."""
    group = group_for(configs[0], "cuda", n_ticks=n_ticks)
    for seed, config in enumerate(configs):
        group.admit(training_of(config, seed, "cuda"), 100)
    counters = Counters()
    counters.clear()
    group.advance()
    n_nodes = counters["captured nodes"]
    group.advance()
    return {
        "captures": counters["captures"],
        "replays": counters["graph launch"],
        "nodes a tick": n_nodes / n_ticks,
        "violations": counters.violations,
        "notes": take_notes(),
    }


def nodes_of_the_paper():
    """Return the nodes a tick of the paper's structure, each tick an iteration, by what it uses.

    The paper's widths change none.
    """

    def nodes(**values):
        return recorded([small(**values)] * 2, 2)["nodes a tick"]

    found = {"triton": nodes(), "triton, bf16": nodes(precision="bf16")}
    os.environ["GANSEARCH_TRITON"] = "0"
    found["no triton"] = nodes()
    del os.environ["GANSEARCH_TRITON"]
    return found


def reserved():
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved() / MIB


def wide(**values):
    """Return the paper's widths: what leaks there is seen."""
    return TrialConfig(**({"batch_size": 100} | values))


def memory_of_recordings(ks):
    """Return the MiB reserved after each recording of one group, whose member has another k."""
    group = group_for(wide(), "cuda", n_ticks=8)
    found = []
    for k in ks:
        training = training_of(wide(k=k), 0, "cuda")
        group.admit(training, 1)
        group.advance()
        group.release(training)
        del training
        found.append(reserved())
    return {"reserved": found, "captures": Counters()["captures"]}


def memory_of_dropped_groups(n):
    """Return the MiB reserved after each of some groups, made, trained and dropped in turn."""
    examples = Examples(blobs(), "cuda")
    found = []
    for _ in range(n):
        group = Group(structure_of(wide()), blobs().shape, examples, n_slots=4, n_ticks=4)
        training = training_of(wide(), 0, "cuda")
        group.admit(training, 8)
        group.advance()
        del group, training
        found.append(reserved())
    return found


def lasting_in_lanes():
    """Return the bytes of each block that outlives the recording of chunks on a lane.

    Those in the lane's own memory, and those of at least 1 MiB that are elsewhere on its stream.
    """
    lane, examples = Lane(), Examples(blobs(), "cuda")
    for name in ("maxout", "adam", "averaged", "batch normalised"):
        for config in (configs_of(name, "fp32")[0], configs_of(name, "bf16")[0]):
            structure = structure_of(config)
            group = Group(structure, (6,), examples, n_slots=2, n_ticks=2, lane=lane)
            group.admit(training_of(config, 0, "cuda"), 8)
            group.advance()
    blocks = [
        (segment["segment_pool_id"] == lane.pool.id, block["size"])
        for segment in torch.cuda.memory_snapshot()
        if segment["stream"] == lane.stream.cuda_stream
        for block in segment["blocks"]
        if block["state"] != "inactive"
    ]
    return {
        "own": [size for is_own, size in blocks if is_own],
        "elsewhere": [size for is_own, size in blocks if not is_own and size >= 2**20],
    }


def many_groups(n):
    """Return how often graphs were launched in two chunks of each of some groups, all alive."""
    groups = [group_for(small(), "cuda", n_slots=1, n_ticks=2) for _ in range(n)]
    for seed, group in enumerate(groups):
        group.admit(training_of(small(), seed, "cuda"), 100)
    for _ in range(2):
        for group in groups:
            group.advance()
    counters = Counters()
    return {"launches": counters["graph launch"], "violations": counters.violations}


def compiled():
    """Return the functions that `torch.compile` gets while groups of either optimizer train."""
    found = []
    compile_, torch.compile = torch.compile, lambda f, **_: found.append(f.__name__) or f
    for optimizer in ("sgd", "adam"):
        recorded([small(optimizer=optimizer, generator_ema=0.9)], 2)
    torch.compile = compile_
    return found


def second_attempt():
    """Train in a group that fits only in place of an idle one, and not beside its own first half.

    Return the updates done, and in MiB what the two groups hold and the limit.
    """
    ignore_values()
    idle, new = (wide(generator_widths=(768,) * n, batch_size=10) for n in (8, 20))
    engine = Engine(blobs(), "cuda", n_slots=8)
    engine.advance(engine.build(idle, 0), 2)  # too few for a group: all else is there now
    structure = structure_of(new)
    holds = []
    for config in (new, idle):
        before = reserved()
        group = engine._make_group(structure_of(config))
        holds.append(reserved() - before)
        if config is new:
            del group
    engine._groups[structure_of(idle)] = [group]
    del group
    limit = reserved() + holds[0] - holds[1] / 2
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(limit * MIB / total)
    group = engine._make_group_at_last(structure)
    engine.close()
    torch.cuda.set_per_process_memory_fraction(1.0)
    return {"new": holds[0], "idle": holds[1], "limit": limit, "is made": group.has_room}


def ten_threads():
    """Train, report and save ten trials of one engine at the same time, in three precisions."""
    ignore_values()
    dataset = blobs()
    evaluator = Evaluator(dataset, device="cuda")
    engine = Engine(dataset, "cuda", n_slots=4)

    def run(i):
        config = small(
            generator_widths=(8, 8) if i % 2 else (16,),
            precision=("fp32", "tf32", "bf16")[i % 3],
            k=1 + i % 3,
            optimizer="adam" if i % 4 == 3 else "sgd",
            unrolled_steps=int(i == 5),  # trains by itself, in turn with the groups
        )
        training = engine.build(config, i)
        for updates in (200, 400, 600):
            while engine.advance(training, updates, time_limit_seconds=0.3) is None:
                pass
            with full_precision("cuda"):
                evaluator.evaluate(training.samples(evaluator.n_samples))
            training.save()
        return training.updates

    with ThreadPoolExecutor(10) as pool:
        updates = list(pool.map(run, range(10)))
    engine.close()
    counters = Counters()
    return {
        "updates": updates,
        "captures": counters["captures"],
        "violations": counters.violations,
        "notes": take_notes(),
    }


def streams():
    """Return the streams on which an engine's first ten groups and its callers queue their work."""
    ignore_values()
    engine = Engine(blobs(), "cuda", n_slots=1)
    for n_layers in range(1, 11):
        config = small(generator_widths=(8,) * n_layers)
        engine.advance(engine.build(config, 0), 4)
        (group,) = engine._groups[structure_of(config)]
        group.admit(training_of(config, 0, "cuda"), 100)  # so that it is not dropped as idle
    groups = [group.lane.stream.cuda_stream for (group,) in engine._groups.values()]
    engine.close()
    return {"groups": groups, "callers": torch.cuda.current_stream().cuda_stream}


def own_networks():
    """Return what becomes of the GPU's random numbers as networks with dropout train there."""
    ignore_values()
    torch.backends.cudnn.enabled = False
    config, make = searched(generator_ema=0.9), OwnNetworkMaker(ConvG, ConvD)
    digits = load_dataset("digits")
    first, second = (
        AdversarialTraining(config, digits, 5, device="cuda", make=make) for _ in range(2)
    )

    def state():
        return first.global_random.tensors()["global_rng.cuda"].tolist()

    before = torch.cuda.get_rng_state()
    states = [state()]
    first.advance(6)
    states.append(state())
    first.samples(10)
    first.raw_samples(10)
    states.append(state())
    second.load(first.save())
    for training in (first, second):
        training.advance(12)
    torch.backends.cudnn.enabled = True
    resumed = second.global_random.tensors()
    return {
        "advances": states[0] != states[1],
        "is left alone by samples": states[1] == states[2],
        "goes on after a resume": all(
            torch.equal(resumed[name], tensor)
            for name, tensor in first.global_random.tensors().items()
        ),
        "leaves the others": torch.equal(before, torch.cuda.get_rng_state()),
        "violations": Counters().violations,
    }


def synchronized_capture():
    """Return the violations of a capture in which the host waits."""
    stream = torch.cuda.Stream()
    try:
        with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=stream):
            stream.synchronize()
    except RuntimeError:
        pass
    return Counters().violations


def failed_capture():
    """Return what remains of a group whose first capture fails: no later one is tried here."""
    group = group_for(small(), "cuda", n_ticks=2)
    group.admit(training_of(small(), 0, "cuda"), 100)
    run = group.run_ticks

    def waiting(with_g):
        run(with_g)
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.current_stream().synchronize()

    group.run_ticks = waiting
    group.advance()
    notes, counters = take_notes(), Counters()
    counters.clear()
    group.advance()
    return {"notes": notes, "launches": counters["graph launch"], "products": counters["gemm"]}


def without_and_with_autograd():
    """Return what `recorded` finds of a group that needs no autograd, and of one that does."""
    return [recorded(configs_of(name, "fp32"), 2) for name in ("maxout", "batch normalised")]


def ignore_values():
    """Let no check look at values: no kernel has computed any."""
    training_module.raise_if_diverged = lambda *_: None
    for module in (parzen, indicators, evaluation):
        module.as_samples = lambda samples, device="cpu": as_tensor(samples, device)
    indicators._SUSPICIOUS = float("inf")
    indicators.HealthReference._fidelity = lambda *_: Fidelity(1.0, 1.0, 1.0)


def main():
    """Print by JSON, for each probe that is named, what it returned and its traceback."""
    torch.set_num_threads(1)
    found = {}
    for name, arguments in json.loads(sys.argv[1]).items():
        Counters().clear()
        try:
            found[name] = globals()[name](*arguments), None
        except Exception:
            found[name] = None, traceback.format_exc()
        torch.cuda.empty_cache()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
