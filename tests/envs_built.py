"""Simulated environments for tests."""

from typing import Any

from envs.config import EnvConfig
from envs.make import make_env
from envs.workcell import WorkcellEnv


def built(**keys: Any) -> WorkcellEnv[Any]:
    env = make_env(EnvConfig(**keys))
    assert isinstance(env, WorkcellEnv)
    return env
