"""The Spark host: the same buckets and the same kernels on a cluster's workers."""

from crm_ml.events.spark.log import SparkLog

__all__ = ["SparkLog"]
