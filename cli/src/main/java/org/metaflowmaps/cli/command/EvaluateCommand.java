package org.metaflowmaps.cli.command;

import picocli.CommandLine.Command;

/** {@code mfm evaluate}: its subcommands measure how good a trained map is. */
@Command(
        name = "evaluate",
        mixinStandardHelpOptions = true,
        description = "Measure how good a trained map is.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            EvaluateSamplesCommand.class,
            EvaluateFidCommand.class,
            EvaluateFashionMnistCommand.class,
            EvaluateDriftCommand.class,
            EvaluateMixtureCommand.class,
            EvaluateFrontierCommand.class,
            EvaluateInverseCommand.class,
            EvaluateValueCommand.class,
            EvaluateJacobianCommand.class
        })
public final class EvaluateCommand extends CommandGroup {}
