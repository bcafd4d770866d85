package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Set;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * The text that images are compared with: one for all images, or one for each class.
 *
 * @param template the text. With {@code {}} in it, it is one for each class, in which the class's name replaces every
 *     {@code {}}
 * @param classNames by label; only used by a template with {@code {}}, which needs them
 * @param labels the labels of the images that will be scored; empty for all classes. Other classes score NaN
 */
public record Prompt(String template, List<String> classNames, Set<Integer> labels) {
    private static final String NAME = "{}";

    /** Checks the template and the labels. */
    public Prompt {
        Preconditions.checkNotNull(template, "prompt: the template is null");
        classNames = List.copyOf(classNames);
        labels = Set.copyOf(labels);
        if (template.contains(NAME)) {
            Preconditions.checkArgument(
                    !classNames.isEmpty(),
                    "prompt %s has a {} for the class's name, and no names of classes were given: give them, or a text"
                            + " without {}",
                    Texts.quote(template));
            int classes = classNames.size();
            Preconditions.checkArgument(
                    labels.stream().allMatch(label -> label >= 0 && label < classes),
                    "prompt %s: labels are %s, expected 0 to %s: images without a class have no name to put into it",
                    Texts.quote(template),
                    labels,
                    classes - 1);
        }
    }

    /** Returns one text for all images. */
    public static Prompt of(String text) {
        return new Prompt(text, List.of(), Set.of());
    }

    /** Returns true if the text depends on the image's class. */
    public boolean isPerClass() {
        return template.contains(NAME);
    }

    /** Returns true if images of a class will be scored. */
    boolean has(int label) {
        return labels.isEmpty() || labels.contains(label);
    }

    /** Returns the text of images of a class. */
    public String text(int label) {
        return isPerClass() ? template.replace(NAME, classNames.get(label)) : template;
    }

    /** Returns the whole template in quotes, and how many classes it is for. */
    @Override
    public String toString() {
        int count = labels.isEmpty() ? classNames.size() : labels.size();
        boolean isOne = !isPerClass() || count == 1;
        String text = isOne ? text(labels.isEmpty() ? 0 : labels.iterator().next()) : template;
        return "'" + Texts.oneLine(text) + "'" + (isOne ? "" : " of " + count + " classes");
    }
}
