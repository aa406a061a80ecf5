"""Measurements that are run by hand or by ``./dev bench``: never timed tests."""
