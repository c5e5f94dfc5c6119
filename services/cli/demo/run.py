"""Runs the day on a stack of its own: the composition of the demo."""

import asyncio
import json

import httpx
from rich.console import Console

from deploy.local.settings import LocalSettings
from deploy.local.stack import running
from services.cli.demo.client import PATIENCE, Api
from services.cli.demo.community import found
from services.cli.demo.day import Day, accept, consent, refer_without_consent, release_from_haven
from services.cli.demo.proving import alter, replay
from services.cli.demo.receiver import Receiver, listening
from services.cli.demo.stopping import carry_on, stop
from services.cli.demo.telling import NotAsTold, Telling
from services.cli.running_stack import cancelled_by_signals, whereabouts


async def run(settings: LocalSettings, *, once: bool) -> bool:
    """Tell the day on a fresh stack; return whether it was told to its end and all of it came out as told.

    With `once` it ends then, else at the first Ctrl-C or SIGTERM. Raises LocalStackError if the stack cannot come up.
    """
    console = Console(highlight=False, markup=False)
    telling, told = Telling(console), False
    async with (
        cancelled_by_signals(),
        running(settings, lambda sentence: console.print(sentence, soft_wrap=True)),
        listening("shelter", "outreach") as receiver,
    ):
        await _tell(settings, receiver, telling)
        told = True
        telling.ends()
        if not once:
            console.print(whereabouts(settings))
            console.print("Everything stays up. Ctrl-C stops it; the data stays.")
            await asyncio.Event().wait()
    console.print("Stopped.")
    return told and not telling.failures


async def _tell(settings: LocalSettings, receiver: Receiver, telling: Telling) -> None:
    stack = json.loads(settings.stack_file.read_text())
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        try:
            telling.begins("One day of a community: every line is what a receiver got or a service answered")
            town = await found(Api(stack["services"], http), stack["admin"], receiver, telling)
            day = Day(telling, town, receiver.systems["shelter"], receiver.systems["outreach"])
            for part in (refer_without_consent, consent, accept, release_from_haven, stop, carry_on):
                await part(day)
            await replay(telling)
            await alter(day)
        except NotAsTold as reason:
            telling.broke_off(reason)
