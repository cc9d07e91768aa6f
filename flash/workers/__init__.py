"""Tasks spread over processes of this machine, or over the machines of a Ray cluster.

Both take a function at the top level of a module, what all tasks share and the tasks; both tell
the same events.
"""

from flash.workers.events import Begun, Done, Event, Lost, Tell, Told, silent
from flash.workers.pool import run_here
from flash.workers.ray_pool import run_on_ray

__all__ = ["Begun", "Done", "Event", "Lost", "Tell", "Told", "run_here", "run_on_ray", "silent"]
