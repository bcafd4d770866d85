package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.command.CommandGroup;
import org.metaflowmaps.cli.command.GracefulStop;
import org.metaflowmaps.cli.option.ConfigWords;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** The {@code mfm} command. */
@Command(
        name = "mfm",
        description = "Meta flow maps on libtorch: train them, sample them, draw from their posteriors.",
        mixinStandardHelpOptions = true,
        version = "mfm 0.1.0-SNAPSHOT",
        synopsisSubcommandLabel = "COMMAND")
public final class Mfm extends CommandGroup {
    @Option(names = "--verbose", scope = ScopeType.INHERIT, description = "Print stack traces of errors.")
    private boolean verbose;

    private ConfigWords.Expanded words = new ConfigWords.Expanded(List.of(), Optional.empty(), Set.of());

    /** Runs the command and exits with its code: 0 for success, 1 for a failure, 2 for a wrong command line. */
    public static void main(String[] arguments) {
        int code = run(arguments);
        GracefulStop.leave(code);
        System.exit(code);
    }

    static int run(String... arguments) {
        return execute(new Mfm(), line -> {}, arguments);
    }

    /** Runs the command with the given writers for output and errors; progress still goes to standard error. */
    static int run(PrintWriter out, PrintWriter err, String... arguments) {
        return execute(new Mfm(), line -> line.setOut(out).setErr(err), arguments);
    }

    private static int execute(Mfm mfm, Consumer<CommandLine> prepare, String... arguments) {
        CommandLine line = Subcommands.of(mfm, List.of(arguments));
        prepare.accept(line);
        // Reject an empty path, which usually comes from an unset variable: it would mean the current folder or fail
        // later.
        line.registerConverter(Path.class, text -> {
            if (text.isBlank()) {
                throw new CommandLine.TypeConversionException(
                        "the path is empty, expected the name of a file or folder");
            }
            return Path.of(text);
        });
        line.setExecutionExceptionHandler((failure, command, parsed) -> mfm.failed(failure, command));
        // Check unknown words here, because picocli handles --help before it checks them.
        line.setExecutionStrategy(parsed -> {
            for (CommandLine each : parsed.asCommandLineList()) {
                List<String> unknown = each.getParseResult().unmatched();
                if (!unknown.isEmpty()) {
                    throw new CommandLine.UnmatchedArgumentException(each, unknown);
                }
            }
            return new CommandLine.RunLast().execute(parsed);
        });
        line.setParameterExceptionHandler((failure, given) -> mfm.refused(failure));
        try {
            mfm.words = ConfigWords.expand(line, arguments);
            return line.execute(mfm.words.words().toArray(String[]::new));
        } catch (CommandLine.ParameterException e) {
            return mfm.refused(e);
        } catch (LinkageError | OutOfMemoryError e) {
            // picocli handles only exceptions, not these errors for a missing native library or too little memory.
            return mfm.failed(e, line);
        }
    }

    private int refused(CommandLine.ParameterException failure) {
        CommandLine wrong = failure.getCommandLine();
        wrong.getErr()
                .println("error: " + oneLine(failure.getMessage()).replaceFirst("^Error: ", "")
                        + words.origin(failure.getArgSpec()) + suggestion(failure));
        wrong.getErr().println("Try '" + wrong.getCommandSpec().qualifiedName() + " --help'.");
        trace(failure, wrong);
        return CommandLine.ExitCode.USAGE;
    }

    /** Suggests a command, an option or one of an option's values. */
    private static String suggestion(CommandLine.ParameterException failure) {
        List<String> known = new ArrayList<>();
        String given = failure.getValue();
        CommandSpec command = failure.getCommandLine().getCommandSpec();
        if (failure instanceof CommandLine.UnmatchedArgumentException unmatched
                && !unmatched.getUnmatched().isEmpty()) {
            // Remove the value of --option=value, which is not part of the name.
            given = unmatched.getUnmatched().getFirst().replaceFirst("^(--[^=]*)=.*$", "$1");
            known.addAll(
                    given.startsWith("-")
                            ? command.optionsMap().keySet()
                            : command.subcommands().keySet());
        } else if (failure.getArgSpec() != null && failure.getArgSpec().completionCandidates() != null) {
            failure.getArgSpec().completionCandidates().forEach(known::add);
        } else if (failure.getArgSpec() == null) {
            // The word after "help".
            known.addAll(command.subcommands().keySet());
        }
        return given == null ? "" : Suggestions.didYouMean(given, known);
    }

    private int failed(Throwable failure, CommandLine command) {
        command.getErr().println(command.getColorScheme().errorText("error: " + oneLine(explanation(failure))));
        trace(failure, command);
        return CommandLine.ExitCode.SOFTWARE;
    }

    private void trace(Throwable failure, CommandLine command) {
        if (verbose) {
            failure.printStackTrace(command.getErr());
        }
        command.getErr().flush();
    }

    private static String oneLine(@Nullable String text) {
        return String.valueOf(text).strip().replaceAll("\\s*\\R\\s*", " ");
    }

    /** Returns the text for the user: the message of an expected failure, else the exception's type and message. */
    private static String explanation(Throwable failure) {
        String message = failure.getMessage();
        if ((failure instanceof ExceptionInInitializerError || failure instanceof ExecutionException)
                && failure.getCause() != null) {
            return explanation(failure.getCause());
        }
        if (failure instanceof FileSystemException file && file.getFile() != null) {
            return explanation(file, file.getFile());
        }
        if (failure instanceof OutOfMemoryError) {
            return "not enough memory (" + message + "): ask for less, or give Java more, such as MFM_JAVA_OPTS=-Xmx8g";
        }
        boolean expected = message != null
                && (failure instanceof IOException
                        || failure instanceof UncheckedIOException
                        || failure.getClass().getName().startsWith("org.metaflowmaps.")
                        || failure instanceof IllegalArgumentException);
        if (!expected) {
            return "unexpected failure" + (message == null ? "" : ": " + message) + " (--verbose shows where)";
        }
        // Remove the type name before the message of a wrapped exception.
        return Objects.requireNonNull(message).replaceFirst("^(?:[a-z]\\w*\\.)+[A-Z]\\w*(?:Exception|Error): ", "");
    }

    /** Explains the JDK's exceptions for files, whose messages are often only the file's name. */
    private static String explanation(FileSystemException failure, String file) {
        return switch (failure) {
            case NoSuchFileException missing -> file + " does not exist";
            case AccessDeniedException denied -> file + " may not be read or written: no permission";
            case FileAlreadyExistsException exists -> file + " exists already and is not a folder";
            case NotDirectoryException plain -> file + " is not a folder";
            default -> file + ": " + Objects.requireNonNullElse(failure.getReason(), "it cannot be read or written");
        };
    }
}
