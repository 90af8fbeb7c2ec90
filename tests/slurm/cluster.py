"""A SLURM of one node, of Debian's packages, with one GPU that is none: `munged`, `slurmctld` and `slurmd` as processes of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

OURS = "# Written by the tests of Pythia Trajectories"
SETTINGS = Path("/etc/slurm")  # jobs find it nowhere else: the step of a job drops SLURM_CONF

# more processors than the machine may have, since most jobs wait; every other setting is there to do without systemd, cgroups and
# accounting, or to be quick
SLURM = """{ours}
ClusterName=trajectories
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
KillWait=2
OverTimeLimit=0
SlurmctldTimeout=10
SchedulerParameters=sched_min_interval=0
GresTypes=gpu
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=20000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
GRES = "{ours}\nName=gpu File=/dev/null\n"


def absent() -> str | None:
    """Why there can be no SLURM for tests here, or None."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch", "runuser"):
        if shutil.which(program) is None:
            return f"needs '{program}' (apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "needs to be root, to start SLURM's daemons"
    for name in ("slurm.conf", "gres.conf"):
        if (SETTINGS / name).exists() and not (SETTINGS / name).read_text().startswith(OURS):
            return f"{SETTINGS / name} is there and not of these tests"
    return None


@dataclass
class Cluster:
    """The daemons, with all their files below ``folder``."""

    folder: Path

    def start(self) -> None:
        host = os.uname().nodename.split(".")[0]
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True)
        SETTINGS.mkdir(exist_ok=True)
        (SETTINGS / "slurm.conf").write_text(SLURM.format(ours=OURS, host=host, folder=self.folder))
        (SETTINGS / "gres.conf").write_text(GRES.format(ours=OURS))
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(128))
        user = pwd.getpwnam("munge")
        for path in (munge, munge / "key"):
            os.chown(path, user.pw_uid, user.pw_gid)
        (munge / "key").chmod(0o400)
        munge.chmod(0o755)
        files = [f"--{name}={munge / name.removesuffix('-file')}" for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")]
        subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force", *files], check=True, capture_output=True)
        self.start_controller()
        subprocess.run(["slurmd"], check=True)
        self.wait(lambda: "idle" in self.says("sinfo", "-h", "-o", "%t"), "the node is not idle")

    def start_controller(self) -> None:
        subprocess.run(["slurmctld"], check=True)
        self.wait(lambda: "UP" in self.says("scontrol", "ping"), "the controller does not answer")

    def stop_controller(self) -> None:
        self._end(self.folder / "slurmctld.pid", signal.SIGTERM)

    def stop(self) -> None:
        """End jobs and daemons, by the pids that they wrote, and remove the settings."""
        self.says("scancel", "--user=root")
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            self._end(self.folder / name, signal.SIGTERM)
        for name in ("slurm.conf", "gres.conf"):
            (SETTINGS / name).unlink(missing_ok=True)

    def says(self, *command: str) -> str:
        """Output of a command of SLURM's, whether it succeeds or not."""
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.stdout

    def submissions(self) -> int:
        """How many jobs have been submitted so far."""
        ids = [int(line.split("_")[0]) for line in self.says("squeue", "-h", "-t", "all", "-o", "%i").split()]
        return max(ids, default=0)

    @staticmethod
    def wait(true: object, otherwise: str, seconds: float = 30) -> None:
        """Wait until a function returns something true."""
        end = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            if time.monotonic() > end:
                raise TimeoutError(otherwise)
            time.sleep(0.2)

    @staticmethod
    def _end(pid_file: Path, how: signal.Signals) -> None:
        try:
            pid = int(pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return
        for signal_ in (how, signal.SIGKILL):
            for _ in range(100):
                try:
                    os.kill(pid, signal_ if _ == 0 else 0)
                except ProcessLookupError:
                    return
                time.sleep(0.1)
