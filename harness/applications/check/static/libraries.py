"""Names of libraries' functions, and what they make. A table: a library that is not in it is not seen by the static rules."""

from __future__ import annotations

from harness.applications.probe.loading import LOADERS

#: engines with native threads of their own, by the root of their package; a fork takes none of these along
ENGINES = frozenset({
    "tensorflow", "tf_keras", "keras", "torch", "jax", "jaxlib", "onnxruntime", "faiss", "numba", "lightgbm", "xgboost",
    "openvino", "mxnet", "paddle", "grpc", "tflite_runtime", "ai_edge_litert", "transformers", "sentence_transformers",
    "spacy", "whisper",
})  # fmt: skip
#: functions and classes that load a model, by their last name; `Session` is of TensorFlow 1 alone
LOADING = (LOADERS - {"Session", "Sequential", "get_session", "get_default_graph", "set_session"}) | {
    "SentenceTransformer", "CrossEncoder", "read_index", "load_checkpoint", "TextClassificationPipeline", "InferenceEngine",
    "load_from_checkpoint", "compile_model",
}  # fmt: skip
#: those whose last name alone says nothing
LOADING_FULL = frozenset({
    "torch.load", "torch.jit.load", "joblib.load", "spacy.load", "whisper.load_model", "transformers.pipeline",
    "onnxruntime.InferenceSession", "tensorflow.saved_model.load", "tensorflow.Session", "tensorflow.compat.v1.Session",
    "lightgbm.Booster", "xgboost.Booster", "tensorflow.lite.Interpreter", "keras.Sequential", "tensorflow.keras.Sequential",
})  # fmt: skip
#: what connects as it is made
CONNECTING = frozenset({
    "psycopg2.connect", "psycopg.connect", "pymysql.connect", "MySQLdb.connect", "mysql.connector.connect",
    "pika.BlockingConnection", "kafka.KafkaProducer", "kafka.KafkaConsumer", "socket.create_connection",
    "cx_Oracle.connect", "oracledb.connect", "cassandra.cluster.Cluster",
})  # fmt: skip
#: what connects as it is made if it is told where to
TOLD_WHERE = frozenset({"smtplib.SMTP", "smtplib.SMTP_SSL", "ftplib.FTP", "ftplib.FTP_TLS"})
#: what connects when it is first used
LAZY = frozenset({
    "redis.Redis", "redis.StrictRedis", "redis.from_url", "redis.Redis.from_url", "pymongo.MongoClient",
    "sqlalchemy.create_engine",
    "requests.Session", "requests.session", "httpx.Client", "boto3.client", "boto3.resource", "elasticsearch.Elasticsearch",
    "aiohttp.ClientSession", "urllib3.PoolManager", "openai.OpenAI", "minio.Minio", "ldap3.Connection",
    "grpc.insecure_channel", "grpc.secure_channel", *TOLD_WHERE,
})  # fmt: skip
POOLS = frozenset({
    "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor", "multiprocessing.Pool",
    "multiprocessing.pool.Pool", "multiprocessing.pool.ThreadPool", "concurrent.futures.thread.ThreadPoolExecutor",
})  # fmt: skip
THREADS = frozenset({"threading.Thread", "threading.Timer", "threading.Thread.start", "_thread.start_new_thread"})
LOCKS = frozenset({
    "threading.Lock", "threading.RLock", "threading.Condition", "threading.Semaphore", "threading.BoundedSemaphore",
})  # fmt: skip
LOOPS = frozenset({"asyncio.new_event_loop", "asyncio.get_event_loop", "uvloop.new_event_loop"})
PROCESSES = frozenset({
    "multiprocessing.Process", "multiprocessing.Pool", "multiprocessing.pool.Pool", "concurrent.futures.ProcessPoolExecutor",
    "multiprocessing.Manager", "multiprocess.Pool", "multiprocess.Process",
})  # fmt: skip


def loads(name: str) -> bool:
    """Whether a call by this full name loads a model.

    >>> loads("tensorflow.keras.models.load_model"), loads("requests.Session"), loads("torch.load")
    (True, False, True)
    """
    return name in LOADING_FULL or name.rpartition(".")[2] in LOADING
