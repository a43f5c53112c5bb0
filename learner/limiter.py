"""Updates are paced by data, not by the wall clock: a fast learner waits, a slow one catches up."""

from dataclasses import dataclass


@dataclass
class RateLimiter:
    """Allows one block of gradient steps per environment step.

    So a run is reproducible on any machine, and a robot that stands still is not over-trained.
    """

    arrived: int = 0
    """Environment steps archived in this run."""
    done: int = 0
    """Update blocks run."""
    waived: int = 0
    """Steps that came before there was anything to learn from; they are owed no update."""

    @property
    def debt(self) -> int:
        """Update blocks that may run now."""
        return self.arrived - self.done - self.waived

    @property
    def settled(self) -> int:
        """Environment steps that have had their update: what the actors pace themselves by in simulation."""
        return self.done + self.waived

    def waive(self) -> None:
        """Forgive the present debt."""
        self.waived += self.debt
