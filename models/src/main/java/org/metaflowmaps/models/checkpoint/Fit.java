package org.metaflowmaps.models.checkpoint;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * Differences between a file's tensors and a network's; names are those of the file.
 *
 * @param missing tensors of the network that are not in the file
 * @param unexpected tensors under the network's prefix that are not in the network
 * @param misshapen tensors with a wrong shape or type, with the reason
 */
public record Fit(List<String> missing, List<String> unexpected, List<String> misshapen) {
    private static final int SHOWN = 6;

    /** Copies the collections. */
    public Fit {
        missing = List.copyOf(missing);
        unexpected = List.copyOf(unexpected);
        misshapen = List.copyOf(misshapen);
    }

    /** Compares a file with the shapes of a network by name. */
    public static Fit of(TensorFile file, CheckpointLayout layout, Map<String, Shape> wanted) {
        Map<String, String> names = layout.names(file);
        Map<String, String> unreadable = layout.unreadable(file);
        List<String> missing = new ArrayList<>();
        List<String> misshapen = new ArrayList<>();
        wanted.forEach((name, shape) -> {
            String inFile = names.get(name);
            TensorFile.Entry found = inFile == null ? null : file.entries().get(inFile);
            String why = unreadable.get(name);
            if (found == null && why != null) {
                misshapen.add(why);
            } else if (found == null) {
                missing.add(layout.prefix() + name);
            } else if (!found.shape().equals(shape)) {
                misshapen.add(found.name() + " has shape " + found.shape() + ", the network needs " + shape);
            }
        });
        List<String> unexpected = names.entrySet().stream()
                .filter(name -> !wanted.containsKey(name.getKey()))
                .map(Map.Entry::getValue)
                .toList();
        return new Fit(missing, unexpected, misshapen);
    }

    /** Returns true if nothing is missing, unexpected or misshapen. */
    public boolean isExact() {
        return places() == 0;
    }

    /** Returns the number of tensors that do not fit. */
    public int places() {
        return missing.size() + unexpected.size() + misshapen.size();
    }

    /** Lists every tensor that does not fit, with the reason. */
    public List<String> problems() {
        List<String> problems = new ArrayList<>();
        missing.forEach(name -> problems.add(name + " is missing"));
        problems.addAll(misshapen);
        unexpected.forEach(name -> problems.add(name + " is not part of the network"));
        return problems;
    }

    @Override
    public String toString() {
        List<String> problems = problems();
        return String.join("; ", problems.subList(0, Math.min(SHOWN, problems.size())))
                + (problems.size() > SHOWN ? "; ..." : "");
    }
}
