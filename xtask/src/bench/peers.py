"""Trains mnist-mlp on the embedded digits with Keras alone or with Elephas, for `cargo xtask bench peers`.

Usage: peers.py DIGITS MODE FREQUENCY EPOCHS
DIGITS: the folder with the four IDX files. MODE: keras, synchronous, asynchronous or hogwild.
FREQUENCY: epoch or batch, of no meaning with keras and synchronous. Elephas has two workers.

The last line on standard output is a JSON object: seconds of `fit`, samples per second of it, and the
test accuracy after it. Imports, reading the data and starting Spark are left out.
"""

import gzip
import json
import multiprocessing
import os
import pathlib
import sys
import time
import traceback

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
# Spark's workers are this very Python.
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable

import numpy
from tensorflow.keras.layers import Activation, Dense, Dropout
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import SGD

BATCH_SIZE = 64
WORKERS = 2


def read_idx(path):
    raw = gzip.open(path).read()
    dimensions = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load(folder, part):
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz").reshape(-1, 784)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    return images.astype("float32") / 255, numpy.eye(10, dtype="float32")[labels]


def build():
    model = Sequential(
        [
            Dense(128, input_shape=(784,)),
            Activation("relu"),
            Dropout(0.2),
            Dense(128),
            Activation("relu"),
            Dropout(0.2),
            Dense(10),
            Activation("softmax"),
        ]
    )
    model.compile(SGD(learning_rate=0.1), "categorical_crossentropy", metrics=["acc"])
    return model


def keras(x, y, epochs):
    # The first step of a process builds the graph, which is no training.
    build().fit(x[:BATCH_SIZE], y[:BATCH_SIZE], epochs=1, batch_size=BATCH_SIZE, verbose=0)
    model = build()
    start = time.monotonic()
    model.fit(x, y, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model, time.monotonic() - start


def elephas(x, y, epochs, mode, frequency):
    from elephas.spark_model import AsynchronousSparkModel, SparkModel
    from elephas.utils.rdd_utils import to_simple_rdd
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setAppName("peers").setMaster(f"local[{WORKERS}]")
    conf = conf.set("spark.driver.memory", "2g").set("spark.ui.enabled", "false")
    context = SparkContext(conf=conf)
    context.setLogLevel("ERROR")
    if mode == "synchronous":
        spark_model = SparkModel(build(), num_workers=WORKERS)
    else:
        spark_model = AsynchronousSparkModel(
            build(),
            mode=mode,
            frequency=frequency,
            num_workers=WORKERS,
            parameter_server_mode="http",
            port=0x1000 + os.getpid() % 0x7000,
        )
    rows = to_simple_rdd(context, x, y)
    start = time.monotonic()
    spark_model.fit(rows, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, validation_split=0.0)
    return spark_model.master_network, time.monotonic() - start


def main():
    folder, mode, frequency, epochs = sys.argv[1:]
    (x, y), (x_test, y_test) = (load(pathlib.Path(folder), part) for part in ["train", "t10k"])
    if mode == "keras":
        model, seconds = keras(x, y, int(epochs))
    else:
        model, seconds = elephas(x, y, int(epochs), mode, frequency)
    accuracy = float(model.evaluate(x_test, y_test, verbose=0)[1])
    rate = len(x) * int(epochs) / seconds
    result = {"seconds": seconds, "samples_per_second": rate, "test_accuracy": accuracy}
    print(json.dumps(result), flush=True)


code = 1
try:
    main()
    code = 0
except Exception:
    traceback.print_exc()
# Spark's threads and Elephas's server are not waited for: after an error they would never end.
for process in multiprocessing.active_children():
    process.kill()
sys.stderr.flush()
os._exit(code)
