package org.metaflowmaps.cli.command;

import picocli.CommandLine.Command;

/** {@code mfm reward}: commands about rewards. */
@Command(
        name = "reward",
        mixinStandardHelpOptions = true,
        description = "Measure a reward on samples of a map.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = CalibrateCommand.class)
public final class RewardCommand extends CommandGroup {}
