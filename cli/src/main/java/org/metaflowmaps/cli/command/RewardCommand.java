package org.metaflowmaps.cli.command;

import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code mfm reward}: commands about rewards. */
@Command(
        name = "reward",
        mixinStandardHelpOptions = true,
        description = "Measure a reward on samples of a map.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = CalibrateCommand.class)
public final class RewardCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
        CommandLine line = Objects.requireNonNull(spec).commandLine();
        line.usage(line.getErr());
        return CommandLine.ExitCode.USAGE;
    }
}
