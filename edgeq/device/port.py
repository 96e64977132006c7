"""The serial port that a board is at: a device, a pyserial URL, or whatever has the USB id of a known board."""

from __future__ import annotations

import errno
import getpass
from collections.abc import Sequence

import serial
from serial.tools import list_ports

from edgeq.errors import DeviceError

POLL_SECONDS = 0.02  # that a read waits
STUCK_SECONDS = 5.0  # that a write waits
BAUD = 921_600  # where no board.toml says another


def open_port(where: str, baud: int = BAUD) -> serial.SerialBase:
    """The port, for this process alone. where: a device or a pyserial URL. Raises DeviceError."""
    try:
        port = serial.serial_for_url(where, baud, timeout=POLL_SECONDS, do_not_open=True)
        if "://" not in where:  # pyserial has neither for every kind of URL
            port.exclusive, port.write_timeout = True, STUCK_SECONDS
        port.open()
        port.reset_input_buffer()
        return port
    except (OSError, ValueError) as e:  # SerialException is an OSError; ValueError: no such kind of URL
        raise _refused(where, e) from e


def find_port(ids: Sequence[str], board: str) -> str:
    """The one port whose USB id, as 0483:374b, is among these. board: whose ids they are, for messages. Raises DeviceError."""
    found = [p.device for p in list_ports.comports() if p.vid is not None and f"{p.vid:04x}:{p.pid:04x}" in ids]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise DeviceError(f"{len(found)} ports have its USB id: {', '.join(found)}", node=board, hint="--port with one of them")
    fact = f"no port has its USB id ({', '.join(ids)})" if ids else "its USB id is not known"
    raise DeviceError(fact, node=board, hint=f"--port NAME; {_present()}")


def _refused(where: str, error: Exception) -> DeviceError:
    """What to say where the port does not open."""
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return DeviceError("there is no such port", node=where, hint=f"plug the board in; {_present()}")
    if code in (errno.EACCES, errno.EPERM):
        return DeviceError("this user may not open the port", node=where,
                           hint=f"sudo usermod -aG dialout {getpass.getuser()}, then log in again")  # fmt: skip
    if code in (errno.EBUSY, errno.EAGAIN):
        return DeviceError("the port is in use by another program", node=where,
                           hint=f"close it: a terminal, a debugger, another edgeq (fuser {where} names it)")  # fmt: skip
    return DeviceError(f"the port does not open ({error})", node=where, hint=_present())


def _present() -> str:
    ports = [f"{p.device} ({p.description})" for p in list_ports.comports() if p.vid is not None]
    return f"USB ports here: {', '.join(ports)}" if ports else "there is no USB port here"
