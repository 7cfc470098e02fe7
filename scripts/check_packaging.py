#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check_packaging.py [FOLDER]: do packaging/Dockerfile and packaging/tenon.service work? As root, with debootstrap and a network.
#
# Each stage of the Dockerfile becomes a chroot of a minbase bookworm under FOLDER (default: a temporary one, which keeps the bare
# system for the next time), and its steps run there in order, as the user and with the environment that they name. In the last
# stage `tenon doctor` and `tenon serve` with SmolLM2 run, HEALTHCHECK's command must say that it is well, and TERM ends it with 0.
# The unit is checked by systemd-analyze, if that is here.
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_EXPOSURE = 2.0  # of systemd-analyze, 0 to 10; a service without protection has 9.6


def steps(text):
    """[(instruction, rest)] of a Dockerfile; comments are gone, lines that go on are joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.strip().split(None, 1)) for line in joined.splitlines() if line.strip()]


class Stage:
    """A chroot with the state that Dockerfile instructions change."""

    def __init__(self, folder, name):
        self.root, self.user, self.directory, self.environment = folder / ("stage-" + name), "root", "/", {}
        self.close()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        subprocess.run(["tar", "-C", str(self.root), "-xf", str(folder / "minbase.tar")], check=True)
        for mounted in ("proc", "dev"):
            subprocess.run(["mount", "--bind", "/" + mounted, str(self.root / mounted)], check=True)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        for path in pathlib.Path("/etc/apt/apt.conf.d").glob("*proxy*"):  # how this host reaches the network belongs to the host
            shutil.copy(path, self.root / str(path)[1:])

    def close(self):
        for mounted in ("proc", "dev"):
            subprocess.run(["umount", str(self.root / mounted)], stderr=subprocess.DEVNULL)

    def path(self, name):
        return self.root / (name if name.startswith("/") else os.path.join(self.directory, name)).lstrip("/")

    def command(self, words):
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", **self.environment,
                     **{name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ}}
        inner = ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", *words] if self.user != "root" else words
        return ["chroot", str(self.root), "/usr/bin/env", "-i", *[f"{name}={value}" for name, value in variables.items()], "sh", "-c", f'cd {self.directory} && exec "$@"', "sh", *inner]

    def run(self, line, log):
        begin = time.monotonic()
        code = subprocess.run(self.command(["sh", "-c", line]), stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
        print(f"{'ok     ' if code == 0 else 'FAILED '} RUN {line[:90]} ({time.monotonic() - begin:.0f} s)", flush=True)
        return code == 0


def copy(stages, stage, words):
    source, target = words[-2:]
    if words[0].startswith("--from="):
        from_path, to_path = stages[words[0].removeprefix("--from=")].path(source), stage.path(target)
        to_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(from_path, to_path)
        return
    stage.path(target).mkdir(parents=True, exist_ok=True)
    subprocess.run(f"git -C {shlex.quote(str(ROOT))} archive HEAD | tar -C {shlex.quote(str(stage.path(target)))} -xf -", shell=True, check=True)


def build(folder, log):
    """(the last stage, its HEALTHCHECK, its ENTRYPOINT), or None after a step that failed."""
    stages, stage, health, entry = {}, None, "", []
    for instruction, rest in steps((ROOT / "packaging/Dockerfile").read_text()):
        if instruction == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image == "debian:bookworm-slim", image
            stage = stages[name or "last"] = Stage(folder, name or "last")
        elif instruction == "RUN":
            if not stage.run(rest, log):
                return None
        elif instruction == "COPY":
            copy(stages, stage, rest.split())
        elif instruction == "USER":
            stage.user = rest
        elif instruction == "WORKDIR":
            stage.directory = rest
            stage.path(rest).mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            stage.environment.update(word.split("=", 1) for word in shlex.split(rest))
        elif instruction == "HEALTHCHECK":
            health = rest.split(" CMD ", 1)[1]
        elif instruction == "ENTRYPOINT":
            entry = json.loads(rest)
        elif instruction not in ("VOLUME", "EXPOSE", "STOPSIGNAL", "CMD"):
            raise SystemExit(f"check_packaging.py does not know the instruction {instruction}")
    return stage, health, entry


def check(what, is_ok, detail=""):
    print(f"{'ok     ' if is_ok else 'FAILED '} {what}" + ("" if is_ok else f": {detail}"), flush=True)
    return is_ok


def check_image(stage, health, entry, log):
    doctor = subprocess.run(stage.command([*entry, "doctor"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    is_ok = check("tenon doctor in the image", doctor.returncode == 0, doctor.stdout[-500:])
    fetched = subprocess.run([str(ROOT / "scripts/fetch_model.sh")], stdout=subprocess.PIPE, text=True)
    if fetched.returncode != 0:
        print("SKIPPED serving: no model")
        return is_ok
    stage.path("/models").mkdir(exist_ok=True)
    shutil.copy(fetched.stdout.strip(), stage.path("/models/model.gguf"))
    stage.path("/run/tenon").mkdir(parents=True, exist_ok=True)
    stage.path("/run/tenon/keys").write_text("sk-check-packaging-0123\n")
    server = subprocess.Popen(stage.command([*entry, "serve", "/models/model.gguf", "--cache-size", "200M"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    probe, deadline = None, time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        probe = subprocess.run(stage.command(["sh", "-c", health]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if probe.returncode == 0:
            break
        time.sleep(0.5)
    is_ok &= check("HEALTHCHECK while it serves", probe is not None and probe.returncode == 0, "see the log")
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        code = server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        code = server.wait()
    is_ok &= check("TERM ends it with 0", code == 0, f"it ended with {code}")
    return is_ok


def check_unit(folder):
    if shutil.which("systemd-analyze") is None:
        print("SKIPPED the unit: no systemd-analyze here")
        return True
    unit = folder / "tenon.service"  # verified with a program that is there
    unit.write_text((ROOT / "packaging/tenon.service").read_text().replace("/usr/local/bin/tenon", "/bin/true"))
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ours = [line for line in verify.stdout.splitlines() if "tenon.service" in line]
    is_ok = check("systemd-analyze verify", ours == [], "\n".join(ours))
    security = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
    return is_ok & check(f"systemd-analyze security: exposure {exposure.group(1) if exposure else '?'}", exposure is not None and float(exposure.group(1)) <= MAX_EXPOSURE,
                         f"must be at most {MAX_EXPOSURE}\n{security.stdout[-2000:]}")


def main():
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("check_packaging.py: run it as root, with debootstrap installed")
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="tenon-packaging."))
    folder.mkdir(parents=True, exist_ok=True)
    is_ok = check_unit(folder)
    with open(folder / "log", "w") as log:
        if not (folder / "minbase.tar").exists():
            bare = folder / "minbase"
            subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(bare)], stdout=log, stderr=log, check=True)
            subprocess.run(["tar", "-C", str(bare), "-cf", str(folder / "minbase.tar"), "."], check=True)
            shutil.rmtree(bare)
        built = None
        try:
            built = build(folder, log)
            is_ok &= built is not None and check_image(*built, log)
        finally:
            for root in folder.glob("stage-*"):
                for mounted in ("proc", "dev"):
                    subprocess.run(["umount", str(root / mounted)], stderr=subprocess.DEVNULL)
    print(f"log: {folder}/log")
    sys.exit(0 if is_ok else 1)


main()
