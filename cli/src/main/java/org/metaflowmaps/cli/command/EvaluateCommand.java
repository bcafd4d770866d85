package org.metaflowmaps.cli.command;

import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

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
public final class EvaluateCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
        CommandLine line = Objects.requireNonNull(spec).commandLine();
        line.usage(line.getErr());
        return CommandLine.ExitCode.USAGE;
    }
}
