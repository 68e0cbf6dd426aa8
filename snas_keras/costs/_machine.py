"""Description of the machine that latencies are measured on."""

import os
import pathlib
import platform

import keras
import tensorflow as tf


def this_machine(device: str | None = None) -> dict[str, str]:
    """Return what latencies depend on, here and now.

    Args:
        device: str, as for `measure_latency`, default None.

    Returns:
        {str: str}.
    """
    threading = tf.config.threading
    return {
        "device": _device_name(device),
        "cores": str(os.cpu_count()),
        "threads": f"{threading.get_intra_op_parallelism_threads()} in, "
        f"{threading.get_inter_op_parallelism_threads()} between operations",
        "platform": f"{platform.system()} {platform.machine()}",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def _device_name(device):
    gpus = tf.config.list_physical_devices("GPU")
    name = (device or ("GPU:0" if gpus else "CPU:0")).upper()
    if "GPU" not in name:
        return _cpu_name()
    index = int(name.rpartition("GPU")[2].strip(":") or 0)
    if index >= len(gpus):
        return "no GPU"
    details = tf.config.experimental.get_device_details(gpus[index])
    return details.get("device_name", "GPU")


def _cpu_name():
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [x.partition(":")[2] for x in lines if x.startswith("model name")]
    return (names[0] if names else platform.processor()).strip() or "CPU"
