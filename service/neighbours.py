"""How many connections each address holds: one caller must not take all that there are."""

from collections import Counter
from ipaddress import IPv6Address, ip_address

PREFIX = 64


class Neighbours:
    """Counts what each address holds; of IPv6 each /64, for who has one address there has them all."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def enter(self, host: str) -> int:
        """Count a connection and return how many this address holds with it."""
        self._held[_name(host)] += 1
        return self._held[_name(host)]

    def leave(self, host: str) -> None:
        """Count a connection less."""
        name = _name(host)
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]


def _name(host: str) -> str:
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(int(address) >> (128 - PREFIX))
