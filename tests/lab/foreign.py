"""What others have on a host: a firewall, docker, a VPN, routes of a routing daemon, FRR."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from uno.lab.node import Node
from uno.model.net import Address

# What docker leaves (its manual, "Packet filtering and firewalls"): all forwarding is dropped
# but what it knows, and a chain for rules of others.
DOCKER = """\
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
NFTABLES = """\
table inet mine {
  set trusted { type ipv4_addr; elements = { 198.51.100.77 }; }
  chain input { type filter hook input priority 10; policy accept;
    tcp dport 2222 ip saddr != @trusted counter drop
  }
}
table ip nat2 {
  chain postrouting { type nat hook postrouting priority 110; oifname "docker0" masquerade; }
}
"""
# A ruleset by hand that drops by default.
POLICY_DROP = """\
table inet closed {
  chain through { type filter hook forward priority 5; policy drop;
    ct state established,related accept
  }
}
"""
# What firewalld makes, in short: the policy accepts, and the last rule of each zone rejects.
FIREWALLD = """\
table inet firewalld {
  chain zone_allow {
  }
  chain zone {
    jump zone_allow
    meta l4proto { icmp, ipv6-icmp } reject
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD { type filter hook forward priority 10; policy accept;
    ct state established,related accept
    iifname "lo" accept
    ct state invalid drop
    iifname vmap { "wan" : goto zone, "uwg-*" : goto zone, "lan*" : goto zone, "eth*" : goto zone }
    reject with icmpx admin-prohibited
  }
}
"""
# New connections into the LAN are dropped, answers are not.
NO_NEW = """\
table inet no_new {
  chain through { type filter hook forward priority 0;
    oifname "lan0" ct state new meta length < 200 drop
  }
}
"""
# As a router on the Internet that drops what is longer than a smaller MTU, without an error.
NARROW = """\
table inet narrow {
  chain out { type filter hook output priority 0;
    oifname "wan" meta length > 1350 drop
  }
}
"""
# Two machines on a bridge of the host; the second has an address in a remote LAN.
BRIDGE = """\
ip link add br7 type bridge
ip address add 10.77.0.1/24 dev br7
for name in one two; do
  ip netns add $name
  ip link add v$name type veth peer name eth0 netns $name
  ip link set v$name master br7 up
  ip -n $name link set lo up
  ip -n $name link set eth0 up
done
ip link set br7 up
ip -n one address add 10.77.0.2/24 dev eth0
ip -n two address add 10.77.0.3/24 dev eth0
ip -n two address add 192.168.3.1/32 dev lo
ip -n one route add 192.168.3.1 via 10.77.0.3
sysctl -qw net.bridge.bridge-nf-call-iptables=1
"""
NO_BRIDGE = """\
ip netns delete one
ip netns delete two
ip link delete br7
sysctl -qw net.bridge.bridge-nf-call-iptables=0
"""
FRR = """\
router bgp 65010
 no bgp ebgp-requires-policy
 neighbor 192.0.2.77 remote-as 65011
!
"""


def docker(node: Node) -> None:
    """Do to the firewall what docker does, for both IP versions."""
    for program in ("iptables-restore", "ip6tables-restore"):
        node.run([program], stdin=DOCKER)


def nftables(node: Node) -> None:
    """Add tables that uno does not own."""
    node.run(["nft", "-f", "-"], stdin=NFTABLES)


def wireguard(node: Node) -> None:
    """Add another VPN, with an interface named as uno's could be."""
    make = "ip link add uwg-mine type wireguard 2>&- || wireguard-go uwg-mine >/dev/null 2>&1"
    node.run(["sh", "-c", make], env={"LOG_LEVEL": "error"})
    key = node.run(["wg", "genkey"]).stdout
    node.run(
        ["wg", "set", "uwg-mine", "listen-port", "51899", "private-key", "/proc/self/fd/0"],
        stdin=key,
    )
    node.run(["ip", "address", "add", "10.99.0.1/24", "dev", "uwg-mine"])
    node.run(["ip", "link", "set", "uwg-mine", "up"])


def routes(node: Node) -> None:
    """Add routes that some routing daemon has made, and one like uno's unreachable routes."""
    for route in (
        "100.64.0.0/24 dev lan0 proto bgp metric 20",
        "100.64.1.0/24 dev uwg-mine proto bgp metric 20",
        "unreachable 100.65.0.0/16 metric 4278198272",
        "100.66.0.0/16 dev lan0 table 77",
    ):
        node.run(["ip", "route", "add", *route.split()])
    node.run(["ip", "-6", "route", "add", "2001:db8:77::/64", "dev", "lan0", "proto", "bgp"])
    node.run(["ip", "rule", "add", "from", "100.66.0.0/16", "lookup", "77", "priority", "9000"])


def frr(node: Node) -> None:
    """Start an FRR of the host's own, at FRR's usual places, with a route."""
    config = node.directory / "etc/frr"
    (config / "bgpd.conf").write_text(FRR)
    (config / "zebra.conf").write_text("")
    (config / "staticd.conf").write_text("ip route 100.67.0.0/16 lan0\n")
    script = "".join(
        f"/usr/lib/frr/{daemon} -d -f /etc/frr/{daemon}.conf\n"
        for daemon in ("zebra", "staticd", "bgpd")
    )
    watch = " ".join(f"-{key} '/usr/lib/frr/%s'" for key in "srk")
    script += f"/usr/lib/frr/watchfrr -d {watch} zebra staticd bgpd\n"
    # The daemons keep their output open, so it must not be ours.
    node.run(["sh", "-c", f"({script}) >/dev/null 2>&1"])


@contextmanager
def ufw(node: Node) -> Iterator[None]:
    """Enable ufw(8) with Debian's defaults, which deny what comes in and what is routed.

    Its files are a copy: those of this machine stay as they are. Without its kernel parameters,
    which it does not put back.
    """
    own = node.directory / "etc/ufw"
    shutil.copytree("/etc/ufw", own)
    (own / "sysctl.conf").write_text("")
    node.run(["mount", "--bind", str(own), "/etc/ufw"])
    try:
        node.run(["ufw", "--force", "enable"])
        yield
    finally:
        node.run(["sh", "-c", NO_UFW], check=False)
        shutil.rmtree(own)


NO_UFW = """\
ufw --force disable
umount /etc/ufw
nft 'delete table ip filter; delete table ip6 filter'
rm -f /run/ufw.lock
"""


@contextmanager
def containers(node: Node, prefix: str) -> Iterator[Container]:
    """Have a bridge `br-app`, addresses of a /24 and NAT, as docker makes them, and a container."""
    kept = node.start(["unshare", "--net", "sleep", "1000"])
    try:
        node.run(["sh", "-ec", CONTAINERS, "sh", prefix])
        yield Container(node=node)
    finally:
        node.run(["sh", "-c", "ip link del br-app; nft delete table ip containers"], check=False)
        kept.stop()


@dataclass(frozen=True)
class Container:
    """The one container of a node."""

    node: Node

    def reaches(self, address: Address) -> bool:
        """Whether an address answers a ping from it."""
        words = f'nsenter -t "$(pgrep -xf "sleep 1000")" -n ping -c1 -W1 -q {address}'
        return self.node.run(["sh", "-c", words], check=False).status == 0


CONTAINERS = """\
ip link add br-app type bridge
ip address add $1.1/24 dev br-app
ip link set br-app up
until inside=$(pgrep -xf "sleep 1000"); do sleep 0.05; done
into="nsenter -t $inside -n"
ip link add veth-app type veth peer name eth0 netns $inside
ip link set veth-app master br-app up
$into ip address add $1.10/24 dev eth0
$into ip link set eth0 up
$into ip route add default via $1.1
nft "table ip containers { chain post { type nat hook postrouting priority srcnat
ip saddr $1.0/24 oifname != br-app masquerade; }; }"
"""


# A VPN with routes in a table of its own, before the main one, as Tailscale has them.
VPN = """\
ip link add vpn0 type bridge
ip link set vpn0 up
ip route add $1 dev vpn0 table 52
ip rule add priority 5270 lookup 52
"""
NO_VPN = """\
ip rule del priority 5270
ip link del vpn0
"""


# systemd-networkd(8) on the interface to the Internet, with a rule of its own. It waits for udev
# unless /sys is read-only. Without D-Bus it runs all the same.
NETWORKD = """\
mkdir -p /run/systemd/network /run/systemd/netif
chown systemd-network: /run/systemd/netif
cat >/run/systemd/network/10-wan.network <<END
[Match]
Name=wan
[Network]
KeepConfiguration=yes
LinkLocalAddressing=no
IPv6AcceptRA=no
Address=198.51.100.77/32
[RoutingPolicyRule]
From=198.51.100.77/32
Table=99
END
mount -o remount,ro /sys
for run in 1 2; do timeout 4 $1 || test $? = 124; done
mount -o remount,rw /sys
"""
NO_NETWORKD = """\
rm -r /run/systemd
ip address del 198.51.100.77/32 dev wan
ip rule del from 198.51.100.77 lookup 99
"""


# NetworkManager(8) on all interfaces, started, started again and ended. It waits for udev unless
# /sys is read-only. Its profiles are in memory, with the particle's configuration `$1` among them.
NETWORK_MANAGER = """\
mount -t tmpfs none /etc/NetworkManager
mkdir -p /etc/NetworkManager/system-connections /run/dbus
mount -o remount,ro /sys
dbus-daemon --system --fork --nopidfile --print-pid >/run/dbus/number
for run in 1 2; do
  NetworkManager --no-daemon >/run/NetworkManager.log 2>&1 &
  end=$(($(date +%s) + 60))
  until nmcli -t -f RUNNING general 2>&- | grep -q '^running'; do
    test "$(date +%s)" -lt $end
    sleep 0.1
  done
  until ! nmcli -t -f STATE device | grep -q connecting; do
    test "$(date +%s)" -lt $end
    sleep 0.1
  done
  nmcli -t -f DEVICE,STATE device
  test $run = 1 || nmcli connection import type wireguard file "$1"
  kill $!
  wait $! || true
done
"""
NO_NETWORK_MANAGER = """\
kill $(cat /run/dbus/number)
umount /etc/NetworkManager
mount -o remount,rw /sys
rm -rf /run/dbus /run/NetworkManager /run/NetworkManager.log
"""
