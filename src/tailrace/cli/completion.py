"""`tailrace completion SHELL`: print the script that makes the shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

HOW_TO = {
    "bash": '# put this in ~/.bashrc:  eval "$(tailrace completion bash)"',
    "zsh": '# put this in ~/.zshrc:  eval "$(tailrace completion zsh)"',
    "fish": "# run once:  tailrace completion fish > ~/.config/fish/completions/tailrace.fish",
}


@click.command
@click.argument("shell", type=click.Choice(sorted(HOW_TO)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for your shell."""
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    script = completion_class(context.find_root().command, {}, "tailrace", "_TAILRACE_COMPLETE").source()
    click.echo(f"{HOW_TO[shell]}\n{script}")
