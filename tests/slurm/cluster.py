"""A SLURM of one node, of Debian's packages, with one GPU that is none and with accounting: its daemons and their database as processes of
the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

OURS = "# Written by the tests of Pythia Trajectories"
SETTINGS = Path("/etc/slurm")  # jobs find it nowhere else: the step of a job drops SLURM_CONF
FILES = ("slurm.conf", "slurmdbd.conf", "gres.conf")

# more processors than the machine may have, since most jobs wait; every other setting is there to do without systemd and cgroups, or to be
# quick
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
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass={folder}/munge/socket
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
KillWait=2
OverTimeLimit=0
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
DATABASE = """{ours}
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={port}
StorageUser=slurm
StoragePass=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""
GRES = "{ours}\nName=gpu File=/dev/null\n"


def absent() -> str | None:
    """Why there can be no SLURM for tests here, or None."""
    for program in ("slurmctld", "slurmd", "slurmdbd", "munged", "sbatch", "mariadbd", "mariadb-install-db", "runuser"):
        if shutil.which(program) is None:
            return f"needs '{program}' (apt-get install slurm-wlm slurmdbd munge mariadb-server)"
    if os.geteuid() != 0:
        return "needs to be root, to start SLURM's daemons"
    for name in FILES:
        if (SETTINGS / name).exists() and not (SETTINGS / name).read_text().startswith(OURS):
            return f"{SETTINGS / name} is there and not of these tests"
    return None


@dataclass
class Cluster:
    """The daemons, with all their files below ``folder``."""

    folder: Path
    database: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        host = os.uname().nodename.split(".")[0]
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True)
        SETTINGS.mkdir(exist_ok=True)
        port = self._start_database()
        for name, text in zip(FILES, (SLURM, DATABASE, GRES), strict=True):
            (SETTINGS / name).write_text(text.format(ours=OURS, host=host, folder=self.folder, port=port))
            (SETTINGS / name).chmod(0o600)
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(128))
        user = pwd.getpwnam("munge")
        for path in (munge, munge / "key"):
            os.chown(path, user.pw_uid, user.pw_gid)
        (munge / "key").chmod(0o400)
        munge.chmod(0o755)
        files = [f"--{name}={munge / name.removesuffix('-file')}" for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")]
        subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force", *files], check=True, capture_output=True)
        subprocess.run(["slurmdbd"], check=True)
        self.wait(lambda: "trajectories" in self.says("sacctmgr", "-i", "add", "cluster", "trajectories"), "there is no accounting")
        self.start_controller()
        subprocess.run(["slurmd"], check=True)
        self.wait(lambda: "idle" in self.says("sinfo", "-h", "-o", "%t"), "the node is not idle")

    def _start_database(self) -> int:
        """Start the database of the accounting; returns its port."""
        own = self.folder / "database"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={own}", "--auth-root-authentication-method=normal"],
            check=True,
            capture_output=True,
        )
        (self.folder / "users.sql").write_text("GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1' IDENTIFIED BY 'slurm';\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        files = [f"--datadir={own}", f"--socket={own}.socket", f"--pid-file={own}.pid", f"--log-error={own}.log"]
        files += [f"--init-file={self.folder / 'users.sql'}"]
        network = ["--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve"]
        self.database = subprocess.Popen(["mariadbd", "--no-defaults", "--user=root", *files, *network])
        self.wait((self.folder / "database.pid").exists, "the database does not start")
        return port

    def start_controller(self) -> None:
        subprocess.run(["slurmctld"], check=True)
        self.wait(lambda: "UP" in self.says("scontrol", "ping"), "the controller does not answer")

    def stop_controller(self) -> None:
        self._end(self.folder / "slurmctld.pid", signal.SIGTERM)

    def stop(self) -> None:
        """End jobs and daemons, by the pids that they wrote, and remove the settings."""
        self.says("scancel", "--user=root")
        for name in ("slurmd.pid", "slurmctld.pid", "slurmdbd.pid", "munge/pid"):
            self._end(self.folder / name, signal.SIGTERM)
        if self.database:
            self.database.terminate()
            self.database.wait(timeout=30)
        for name in FILES:
            (SETTINGS / name).unlink(missing_ok=True)

    def says(self, *command: str) -> str:
        """Output of a command of SLURM's, whether it succeeds or not."""
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.stdout

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
