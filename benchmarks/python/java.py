"""Runs the Java side of the comparison."""

import argparse
import os
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
CLASS_PATH = os.pathsep.join((str(BENCHMARKS / "target/classes"), str(BENCHMARKS / "target/lib/*")))


class CommandFailed(Exception):
    """A command could not be started or ended with an error."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--class-path", default=CLASS_PATH, help="of the Java benchmarks; default: those Maven built")
    parser.add_argument("--java", default=default_java(), help="java of a JDK 25; default: that of JAVA_HOME")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side; default: 2")
    parser.add_argument(
        "--keep-openblas",
        action="store_true",
        help="keep OPENBLAS_CORETYPE and the like, which choose kernels of Java's OpenBLAS and not of PyTorch's MKL",
    )


def leave_out_openblas(options: argparse.Namespace) -> None:
    """Takes OpenBLAS's variables out of the environment unless they are to be kept, and notes what was done."""
    found = {name: value for name, value in sorted(os.environ.items()) if name.startswith("OPENBLAS_")}
    if not options.keep_openblas:
        for name in found:
            del os.environ[name]
    word = "with" if options.keep_openblas else "without"
    options.openblas = "".join(f", {word} {name}={value}" for name, value in found.items())


def default_java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def run_java(options: argparse.Namespace, main: str, *arguments: object) -> str:
    """Runs a main class of the benchmarks and returns what it prints."""
    if options.class_path == CLASS_PATH and not (BENCHMARKS / "target/lib").is_dir():
        raise CommandFailed("the Java benchmarks are not built: run mvn -q -DskipTests package, or give --class-path")
    return output(
        [
            options.java,
            "--enable-native-access=ALL-UNNAMED",
            f"-Dorg.metaflowmaps.threads={options.threads}",
            "-cp",
            options.class_path,
            f"org.metaflowmaps.benchmarks.{main}",
            *map(str, arguments),
        ]
    )


def output(command: list[str]) -> str:
    """Returns what a command prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CommandFailed(f"cannot start {command[0]}: {error.strerror}; --java gives the path of Java") from error
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout
