package org.metaflowmaps.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(name = "posterior")
final class PosteriorCommand implements Callable<Integer> {
    @Override
    public Integer call() {
        return 1;
    }
}
