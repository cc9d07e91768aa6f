"""Problems inside choices (networks on chips): exact fronts and bounds over all choices."""

from flash.optimize.nested.certificate import Budget, Price, certified_front
from flash.optimize.nested.problem import Nested
from flash.optimize.nested.search import SHOWN, How, search_nested, thin

__all__ = ["SHOWN", "Budget", "How", "Nested", "Price", "certified_front", "search_nested", "thin"]
