package org.metaflowmaps.cli;

import java.util.List;
import org.metaflowmaps.cli.command.BenchCommand;
import org.metaflowmaps.cli.command.BestOfCommand;
import org.metaflowmaps.cli.command.ClassifierCommand;
import org.metaflowmaps.cli.command.ConvertCommand;
import org.metaflowmaps.cli.command.DataCommand;
import org.metaflowmaps.cli.command.DoctorCommand;
import org.metaflowmaps.cli.command.EvaluateCommand;
import org.metaflowmaps.cli.command.FilterCommand;
import org.metaflowmaps.cli.command.FinetuneCommand;
import org.metaflowmaps.cli.command.InspectCommand;
import org.metaflowmaps.cli.command.PlanCommand;
import org.metaflowmaps.cli.command.PosteriorCommand;
import org.metaflowmaps.cli.command.QuickstartCommand;
import org.metaflowmaps.cli.command.ReportCommand;
import org.metaflowmaps.cli.command.RewardCommand;
import org.metaflowmaps.cli.command.SampleCommand;
import org.metaflowmaps.cli.command.SearchCommand;
import org.metaflowmaps.cli.command.SelfcheckCommand;
import org.metaflowmaps.cli.command.SteerCommand;
import org.metaflowmaps.cli.command.TrainCommand;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * The subcommands of {@code mfm}. picocli reads the options of every added command by reflection, which is a large part
 * of the time to start, so only the named one is added.
 */
final class Subcommands {
    private static final List<Class<?>> ALL = List.of(
            QuickstartCommand.class,
            TrainCommand.class,
            PlanCommand.class,
            SampleCommand.class,
            PosteriorCommand.class,
            SteerCommand.class,
            SearchCommand.class,
            BestOfCommand.class,
            FilterCommand.class,
            RewardCommand.class,
            FinetuneCommand.class,
            ReportCommand.class,
            InspectCommand.class,
            ConvertCommand.class,
            EvaluateCommand.class,
            ClassifierCommand.class,
            BenchCommand.class,
            DataCommand.class,
            SelfcheckCommand.class,
            DoctorCommand.class);

    private Subcommands() {}

    /** Returns a command line with the subcommand that the first word names; with all of them if it names none. */
    static CommandLine of(Mfm mfm, List<String> arguments) {
        CommandLine line = new CommandLine(mfm);
        List<Class<?>> named = arguments.stream()
                .filter(word -> !word.startsWith("-"))
                .limit(1)
                .flatMap(word -> ALL.stream().filter(command -> name(command).equals(word)))
                .toList();
        (named.isEmpty() ? ALL : named).forEach(line::addSubcommand);
        return line.addSubcommand(CommandLine.HelpCommand.class);
    }

    private static String name(Class<?> command) {
        return command.getAnnotation(Command.class).name();
    }
}
