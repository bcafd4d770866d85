package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;

/** The {@code mfm} command. */
@Command(
        name = "mfm",
        description = "Meta flow maps on libtorch: train them, sample them, draw from their posteriors.",
        subcommands = {
            QuickstartCommand.class,
            TrainCommand.class,
            SampleCommand.class,
            PosteriorCommand.class,
            SelfcheckCommand.class,
            DoctorCommand.class,
            CommandLine.HelpCommand.class
        },
        mixinStandardHelpOptions = true,
        version = "mfm 0.1.0-SNAPSHOT",
        synopsisSubcommandLabel = "COMMAND")
public final class Mfm implements Callable<Integer> {
    @Option(names = "--verbose", scope = ScopeType.INHERIT, description = "Print stack traces of errors.")
    private boolean verbose;

    @Override
    public Integer call() {
        CommandLine.usage(this, System.out);
        return CommandLine.ExitCode.USAGE;
    }

    /** Runs the command and exits with its code: 0 if all went well, 1 if something failed, 2 for a wrong command line. */
    public static void main(String[] arguments) {
        System.exit(run(arguments));
    }

    static int run(String... arguments) {
        Mfm mfm = new Mfm();
        CommandLine line = new CommandLine(mfm);
        line.setExecutionExceptionHandler((failure, command, parsed) -> {
            command.getErr().println(command.getColorScheme().errorText("error: " + explanation(failure)));
            if (mfm.verbose) {
                failure.printStackTrace(command.getErr());
            }
            return CommandLine.ExitCode.SOFTWARE;
        });
        line.setParameterExceptionHandler((failure, given) -> {
            ParameterException wrong = failure;
            wrong.getCommandLine().getErr().println("error: " + wrong.getMessage());
            wrong.getCommandLine().getErr().println("Try '" + wrong.getCommandLine().getCommandSpec().qualifiedName() + " --help'.");
            return CommandLine.ExitCode.USAGE;
        });
        return line.execute(arguments);
    }

    /** One line for a person: messages of expected failures speak for themselves, others need their type. */
    private static String explanation(Throwable failure) {
        String message = failure.getMessage();
        if (failure instanceof NoSuchFileException missing) {
            return missing.getFile() + " does not exist";
        }
        if (message == null) {
            return failure + " (--verbose shows where)";
        }
        boolean expected = failure instanceof IOException || failure.getClass().getName().startsWith("org.metaflowmaps.")
                || failure instanceof IllegalArgumentException;
        return expected ? message : failure.getClass().getSimpleName() + ": " + message + " (--verbose shows where)";
    }
}
