package org.metaflowmaps.cli.command;

import picocli.CommandLine.Command;

/** {@code mfm data}: commands that prepare data. */
@Command(
        name = "data",
        mixinStandardHelpOptions = true,
        description = "Prepare data for training.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = DataEncodeCommand.class)
public final class DataCommand extends CommandGroup {}
